"""A method's files and a short script to run them where tuibench is not: `tuibench take`.

The parent's half (`methods`, `messages`, `measured`, `in_child`) loads no model library; a child process (`build`)
writes the folder and runs it by itself before it is handed over.
"""
