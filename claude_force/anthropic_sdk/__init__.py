"""Calls of the Anthropic SDK, recorded without a line of change in the program that makes them.

    import of `anthropic`  ->  `hooks`: its one method for requests is wrapped
    a call                 ->  `calls` and `streams`: what it used  ->  `keeping`: a line in the spool
    about a second later   ->  `storing`: the line is an execution in the database

Everything but `storing` needs the standard library alone, so that it works in programs that have nothing else of ours.
"""

from __future__ import annotations
