"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """Bad input, parameter or file.

    The message names the file, the value found and how to mend it. Stages print it without a
    traceback and exit with status 2; every other exception is a defect of ours and keeps its trace.
    """
