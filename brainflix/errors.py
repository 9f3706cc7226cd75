"""The one error a user is meant to read."""

from __future__ import annotations


class InputError(Exception):
    """Bad input: the message names the file, what was expected and what was found.

    The command line prints it as a single line and exits with code 1.
    """

    @classmethod
    def about(cls, path: object, *, expected: str, found: str) -> InputError:
        """Word the error the same way everywhere.

        >>> print(InputError.about("a.tsv", expected="60 rows", found="59"))
        a.tsv: expected 60 rows, found 59
        """
        # Other libraries' messages, quoted in ``found``, may span lines; ours never do.
        return cls(f"{path}: expected {expected}, found {' '.join(found.split())}")
