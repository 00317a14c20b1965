"""Failures that end a command with a sentence; `services.cli` maps them to statuses."""


class OperationFailed(Exception):
    """A person can mend this; the text says what is wrong and what to do. Status 2."""


class UsageError(OperationFailed):
    """What was asked for makes no sense, or nobody agreed to it; nothing was done."""


class CheckFailed(Exception):
    """The command has done its work, and found what should not be; the text says what. Status 1."""
