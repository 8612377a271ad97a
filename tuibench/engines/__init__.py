"""One family of methods per module, all behind `base.Engine`; heavy imports happen inside `load()`."""
