"""A real terminal whose screen can be read: tmux."""

import subprocess
import time


class Tmux:
    """A terminal of its own, with a shell in it."""

    def __init__(self, socket, width, height):
        self.socket = str(socket)
        self.run("new-session", "-d", "-x", str(width), "-y", str(height), "env", "PS1=ready>", "sh")

    def run(self, *arguments):
        done = subprocess.run(["tmux", "-S", self.socket, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    def type(self, text):
        self.run("send-keys", "-l", text)

    def press(self, *keys):
        self.run("send-keys", *keys)

    def screen(self):
        return self.run("capture-pane", "-p")

    def wait_for(self, text, timeout_s=240):
        deadline_s = time.monotonic() + timeout_s
        while text not in (screen := self.screen()):
            assert time.monotonic() < deadline_s, f"{text!r} did not appear:\n{screen}"
            time.sleep(0.2)
        return screen

    def close(self):
        self.run("kill-server")

    def modes(self):
        """Return what a program may leave switched on: the alternate screen, the mouse, a hidden cursor."""
        flags = "#{alternate_on} #{mouse_any_flag}#{mouse_all_flag}#{mouse_standard_flag} #{cursor_flag}"
        return self.run("display-message", "-p", flags).strip()
