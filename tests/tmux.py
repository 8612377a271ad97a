"""A real terminal whose screen can be read: tmux."""

import re
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

    def bold(self):
        """Return the pieces of text that are drawn bold."""
        pieces, bold = [], False
        for codes, text in re.findall(r"\x1b\[([\d;]*)m|([^\x1b]+)", self.run("capture-pane", "-p", "-e")):
            if not text:
                attributes = re.sub(r"[34]8;(2;\d+;\d+;\d+|5;\d+)", "colour", codes or "0").split(";")
                bold = "1" in attributes or (bold and not {"0", "22"} & {*attributes})
            elif bold:
                pieces.append(text.strip())
        return pieces

    def wait_for(self, text, timeout_s=600):
        """Wait until the text is on the screen; return the screen."""
        return self._wait(self.screen, text, timeout_s)

    def wait_for_bold(self, text, timeout_s=600):
        """Wait until exactly this is drawn bold."""
        self._wait(self.bold, text, timeout_s)

    @staticmethod
    def _wait(look, text, timeout_s):
        deadline_s = time.monotonic() + timeout_s
        while text not in (seen := look()):
            assert time.monotonic() < deadline_s, f"{text!r} did not appear:\n{seen}"
            time.sleep(0.2)
        return seen

    def close(self):
        self.run("kill-server")

    def modes(self):
        """Return what a program may leave switched on: the alternate screen, the mouse, a hidden cursor."""
        flags = "#{alternate_on} #{mouse_any_flag}#{mouse_all_flag}#{mouse_standard_flag} #{cursor_flag}"
        return self.run("display-message", "-p", flags).strip()
