"""Runs the Python snippets of a Markdown file, one after the other, and compares what each prints with the text block behind it.

usage: cookbook.py FILE, in the directory that the snippets speak of.
"""

import contextlib
import io
import os
import re
import sys


def main(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    snippets = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```\n", text, re.DOTALL)
    assert len(snippets) == text.count("```python\n") > 0, f"{path}: each snippet is followed by what it prints"
    names: dict = {}
    for number, (code, expected) in enumerate(snippets, 1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{path}, snippet {number}", "exec"), names)
        # A table of DuckDB ends with an empty line.
        found = printed.getvalue().rstrip("\n") + "\n"
        assert found == expected, f"{path}, snippet {number} printed\n{found}expected\n{expected}"
    print(f"  {len(snippets)} snippets of {path}: they print what stands there")


main(sys.argv[1])
sys.stdout.flush()
# Threads that deltalake leaves behind may abort the interpreter as it ends, after everything was compared.
os._exit(0)
