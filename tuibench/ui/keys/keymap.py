"""Every key of the dashboard, in one table: what it is called, what it does, where it is shown."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """One binding. Its id is what a key map of the user would name."""

    id: str
    keys: str
    action: str
    label: str
    tooltip: str
    show: bool = True
    priority: bool = False
    """Whether it works while a text box has the focus and would take the key itself."""

    def binding(self) -> Binding:
        """Return what Textual wants."""
        return Binding(
            self.keys, self.action, self.label, id=self.id, tooltip=self.tooltip, show=self.show, priority=self.priority
        )


# Where not all fit into the last line of the screen, those further up in a place are shown.
KEYS: dict[str, tuple[Key, ...]] = {
    "app": (
        Key("app.bench", "f2", "show_mode('bench')", "Bench", "Measure: prompt, methods, live panels", show=False),
        Key("app.sessions", "f3", "show_mode('sessions')", "Sessions", "Stored measurements: open, replay"),
        Key("app.pull", "ctrl+g", "pull_model", "Pull", "Fetch the model that is to be measured", show=False),
        Key("app.theme", "f12", "change_theme", "Theme", "Look at the themes and take one", show=False),
        Key("app.manual", "H", "read_manual", "Manual", "What numbers mean, how they are measured", show=False),
        Key("app.help", "question_mark,f1", "toggle_help", "Keys", "All keys and what they do", show=False),
    ),
    "help": (
        Key("help.close", "escape", "close", "Close", "Close the list of keys"),
    ),
    # In every list, and in whatever else scrolls while it has the focus.
    "list": (
        Key("list.down", "j", "app.move('down')", "Down", "The next row", show=False),
        Key("list.up", "k", "app.move('up')", "Up", "The previous row", show=False),
        Key("list.top", "g", "app.move('top')", "Top", "The first row", show=False),
        Key("list.bottom", "G", "app.move('bottom')", "Bottom", "The last row", show=False),
        Key("list.page_down", "ctrl+d", "app.move('page_down')", "Page down", "A page down", show=False),
        Key("list.page_up", "ctrl+u", "app.move('page_up')", "Page up", "A page up", show=False),
    ),
    "rows": (
        Key("rows.down", "down", "cursor_down", "Down", "The next row", show=False),
        Key("rows.up", "up", "cursor_up", "Up", "The previous row", show=False),
        Key("rows.first", "home", "first", "First", "The first row", show=False),
        Key("rows.last", "end", "last", "Last", "The last row", show=False),
        Key("rows.page_down", "pagedown", "page_down", "Page down", "A page down", show=False),
        Key("rows.page_up", "pageup", "page_up", "Page up", "A page up", show=False),
    ),
    "choice": (
        Key("choice.next", "right,space,l", "next(1)", "Next", "The next choice", show=False),
        Key("choice.previous", "left,h", "next(-1)", "Previous", "The previous choice", show=False),
    ),
    "ladder": (
        Key("ladder.toggle", "space", "toggle_choice", "Choose", "This method takes part, or not", show=False),
        Key("ladder.toggle_all", "a", "toggle_all", "All", "Choose all methods, or none", show=False),
        Key("ladder.unfold", "enter", "unfold", "Unfold", "Show or hide what was not measured"),
    ),
    "bench": (
        Key("run.start", "f5,ctrl+r", "start_run", "Run", "Measure the chosen methods", priority=True),
        Key("run.stop", "f8", "stop_run", "Stop", "End the run; every finished trial is kept", priority=True),
        Key("run.skip", "f9", "skip_method", "Skip", "End the running method and go on with the next", priority=True),
        Key("run.clear", "ctrl+l", "clear_results", "Clear", "Remove results from the screen, not files", show=False),
        Key("bench.escape", "escape", "leave_prompt", "Methods", "From the prompt to the methods and their results"),
        Key("run.details", "d,ctrl+t", "show_details", "Details", "Why it is fast or slow, why it failed, its log"),
        Key("run.compare", "c", "compare", "Compare", "Which one to take: intervals, speed against quality"),
        Key("run.race", "r", "race", "Race", "All methods again, side by side at recorded times"),
        Key("bench.prompt", "i,enter", "enter_prompt", "Prompt", "Write the prompt; escape leaves it"),
        Key("bench.sessions", "f3", "app.show_mode('sessions')", "Sessions", "Stored measurements: open, replay"),
        Key("run.resume", "R", "resume", "Resume", "Measure what is missing, or more trials of each method"),
        Key("run.report", "e", "report", "Export", "A report of this run: HTML, Markdown, CSV, pictures"),
        Key("run.take", "u", "take", "Use it", "A folder that runs this method without tuibench"),
        Key("bench.model", "m", "choose_model", "Model", "Another one: what is here, a folder, GGUF, a hub id"),
        Key("bench.settings", "s", "change_settings", "Settings", "Tokens, trials, threads, precision, budget …"),
        Key("bench.pick", "p", "pick", "Pick", "Search for the fastest method that keeps your limits"),
        Key("run.prompts", "ctrl+o", "choose_prompt", "Prompts", "Used before, in your folder, shipped", priority=True),
        Key("panel.next", "f4", "next_panel", "Method", "Look at the next method", show=False, priority=True),
        Key("panel.swap", "v", "swap_view", "View", "Text or latency, where there is room for one", show=False),
    ),
    "prompt": (
        Key("prompt.send", "ctrl+j", "send", "Run", "Measure with this prompt", show=False),
    ),
    "sessions": (
        Key("sessions.open", "enter,o", "open", "Open", "Show the results of this session"),
        Key("sessions.replay", "r", "open_replay", "Replay", "Watch the session again as it was recorded"),
        Key("sessions.compare", "c", "compare", "Compare", "The marked sessions side by side, else this one"),
        Key("sessions.mark", "space", "mark", "Mark", "Mark this session, to compare or delete several"),
        Key("sessions.mark_all", "a", "mark_all", "Mark all", "Mark what is listed, or nothing", show=False),
        Key("sessions.search", "slash", "search", "Search", "Name, tag, note, model, method, processor, date"),
        Key("sessions.bench", "f2", "app.show_mode('bench')", "Bench", "Back to measuring"),
        Key("sessions.sort", "s", "sort", "Sort", "By the next column"),
        Key("sessions.turn", "S", "turn_order", "Turn", "The other way round", show=False),
        Key("sessions.edit", "e", "edit", "Edit", "Name, tags and note of this session"),
        Key("sessions.resume", "R", "resume", "Resume", "Measure what is missing of this session, or failed"),
        Key("sessions.delete", "delete,x", "delete", "Delete", "Put the marked sessions away, else this one"),
        Key("sessions.undo", "u", "undo_delete", "Undo", "Bring the last deleted session back"),
        Key("sessions.reload", "f5,ctrl+r", "reload", "Reload", "Look for new sessions", show=False),
        Key("sessions.reset", "escape", "reset", "All", "End the search, take the marks away", show=False),
    ),
    "prompts": (
        Key("prompts.take", "enter", "take", "Take", "Put this prompt into the editor", priority=True),
        Key("prompts.up", "up", "up", "Up", "The previous prompt", show=False, priority=True),
        Key("prompts.down", "down", "down", "Down", "The next prompt", show=False, priority=True),
        Key("dialog.close", "escape", "close", "Close", "Leave the prompt as it is"),
    ),
    "models": (
        Key("models.take", "enter", "take", "Take", "Measure this model", priority=True),
        Key("models.up", "up", "up", "Up", "The previous model", show=False, priority=True),
        Key("models.down", "down", "down", "Down", "The next model", show=False, priority=True),
        Key("dialog.close", "escape", "close", "Close", "Leave the model as it is"),
    ),
    "settings": (
        Key("settings.take", "enter", "take", "Take", "Measure with these settings"),
        Key("dialog.close", "escape", "close", "Close", "Leave the settings as they were"),
    ),
    "pick": (
        Key("pick.take", "enter", "take", "Search", "Measure no more than it takes to know the answer"),
        Key("dialog.close", "escape", "close", "Close", "Leave everything as it is"),
    ),
    "search": (
        Key("search.done", "enter,down", "done", "List", "From the search to what was found"),
        Key("search.cancel", "escape", "cancel", "All", "End the search"),
    ),
    "replay": (
        Key("replay.toggle", "space", "toggle_play", "Play", "Start, pause or go on", priority=True),
        Key("replay.end", "r", "swap_race", "Race", "The race where it stands, or all results"),
        Key("replay.close", "escape", "close", "Back", "Back to the list of sessions"),
        Key("replay.faster", "plus,equals_sign", "faster", "Faster", "Twice the speed, 16× at most; − halves it"),
        Key("replay.difference", "f", "next_difference", "Differs", "To where a text begins to differ"),
        Key("replay.step", "full_stop", "step(1)", "Step", "To the next token of any method"),
        Key("replay.back", "left", "seek(-1)", "−1 s", "A second back", show=False, priority=True),
        Key("replay.forward", "right", "seek(1)", "+1 s", "A second forward", show=False, priority=True),
        Key("replay.far_back", "shift+left", "seek(-10)", "−10 s", "Ten seconds back", show=False, priority=True),
        Key("replay.far_forward", "shift+right", "seek(10)", "+10 s", "Ten seconds forward", show=False, priority=True),
        Key("replay.step_back", "comma", "step(-1)", "Step back", "To the previous token", show=False),
        Key("replay.slower", "minus", "slower", "Slower", "Half the speed, ¼× at least", show=False),
        Key("replay.start", "0", "to_start", "Start", "The start of the race", show=False),
        Key("run.compare", "c", "compare", "Compare", "Which one to take: intervals, speed against quality"),
        Key("run.resume", "R", "resume", "Resume", "Measure what is missing, or more of each method", show=False),
        Key("run.report", "e", "report", "Export", "A report of this run: HTML, Markdown, CSV, pictures"),
        Key("run.take", "u", "take", "Use it", "A folder that runs this method without tuibench"),
        Key("panel.next", "f4", "next_panel", "Method", "Look at the next method", show=False),
        Key("panel.swap", "v", "swap_view", "View", "Text or latency, where there is room for one", show=False),
        Key("run.details", "d", "show_details", "Details", "Why it is fast or slow, why it failed, its log"),
    ),
    "compare": (
        Key("compare.yardstick", "b", "yardstick", "Yardstick", "State all speeds against the method pointed at"),
        Key("compare.sort", "s", "sort", "Sort", "As measured, by decode, TTFT, memory, divergence"),
        Key("compare.close", "escape", "close", "Back", "End the filter, or back to where this was opened"),
        Key("compare.swap", "x", "swap", "Swap", "Compare against the next session instead"),
        Key("compare.filter", "slash", "filter", "Filter", "Only rows that contain what is typed"),
        Key("compare.view", "v", "next_view", "View", "Bars, speed over divergence, latency"),
        Key("compare.map", "m", "show_sweep", "Map", "Who wins under which shape, and on which machine"),
        Key("compare.copy", "y", "copy_table", "Copy", "The table into the clipboard, also through SSH"),
        Key("compare.copy_verdict", "Y", "copy_verdict", "Copy verdict", "The verdict into the clipboard", show=False),
        Key("compare.export", "e", "export", "Export", "A file: Markdown, CSV, JSON, HTML, pictures, benchstat"),
    ),
    "sweep": (
        Key("sweep.metric", "v", "next_metric", "Figure", "Decode speed, time to the first token, throughput"),
        Key("sweep.next", "right,l", "walk(1)", "Next curves", "Along another axis, or fixed elsewhere", priority=True),
        Key("sweep.previous", "left,h", "walk(-1)", "Curves before", "The previous curves", show=False, priority=True),
        Key("sweep.close", "escape,m", "close", "Back", "Back to the table"),
    ),
    "manual": (
        Key("manual.read", "enter", "read", "Read", "The page pointed at"),
        Key("manual.next", "right,l", "walk(1)", "Next page", "The next page of the manual", priority=True),
        Key("manual.previous", "left,h", "walk(-1)", "Page before", "The previous page", show=False, priority=True),
        Key("manual.back", "escape", "back", "Back", "To the list of pages, or to where the manual was opened"),
    ),
    "export": (
        Key("export.take", "enter", "take", "Write", "Write the file in this format"),
        Key("dialog.close", "escape", "close", "Close", "Write nothing"),
    ),
    "details": (
        Key("details.next", "right,l", "next_method(1)", "Next", "The same for the next method", priority=True),
        Key("details.previous", "left,h", "next_method(-1)", "Previous", "The same for the one before", priority=True),
        Key("details.close", "d", "close", "Close", "The key that opened it closes it", show=False),
        Key("dialog.close", "escape", "close", "Close", "Close this window"),
    ),
    "themes": (
        Key("themes.take", "enter", "take", "Take", "Keep this theme, and start with it from now on"),
        Key("dialog.close", "escape", "close", "Back", "As it was before"),
    ),
    "edit": (
        Key("edit.save", "enter,ctrl+j", "save", "Save", "Write it into the session file", priority=True),
        Key("dialog.close", "escape", "close", "Cancel", "Leave everything as it is"),
    ),
    "take": (
        Key("take.take", "enter", "take", "Take", "Make the folder and try it"),
        Key("take.next", "right,l", "next_method(1)", "Next", "Another method", priority=True),
        Key("take.previous", "left,h", "next_method(-1)", "Previous", "The previous method", priority=True),
        Key("dialog.close", "escape", "close", "Close", "Close; what is being made is given up"),
    ),
    "resume": (
        Key("resume.go_on", "enter,y", "go_on", "Go on", "Measure what is missing; where nothing is, more trials"),
        Key("resume.retry", "f", "retry_failed", "Failed, too", "What is missing, and what failed once more"),
        Key("dialog.close", "escape", "close", "Cancel", "Leave the session as it is"),
    ),
    "confirm": (
        Key("confirm.yes", "enter,y", "accept", "Yes", "Go on"),
        Key("confirm.no", "escape,n", "close", "Cancel", "Leave everything as it is"),
    ),
}  # fmt: skip


def bindings(place: str) -> list[Binding | tuple[str, str] | tuple[str, str, str]]:
    """Return the bindings of a screen or widget."""
    return [key.binding() for key in KEYS[place]]
