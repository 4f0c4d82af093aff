"""The one error a user is meant to see: a mistake of theirs, in one line that says what to do."""


class UserError(ValueError):
    """A mistake in a recipe, a file or a setting. The command line prints it as one line and exits with 1."""
