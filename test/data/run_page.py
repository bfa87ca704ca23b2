"""Runs the code of a page, block by block in a folder, and prints what each came to as JSON.

Reads {"folder": ..., "blocks": [{"language": "sql" | "python", "code": ...}]}. What a block of SQL came to is the rows of
its last statement; of Python, the rows of the frame or series that its last statement assigns, its index included.
"""

import ast
import json
import os
import sys

import duckdb
import pandas as pd

request = json.load(sys.stdin)
os.chdir(request["folder"])
connection = duckdb.connect()
names: dict = {}


def run_sql(code):
    result = connection.execute(code)
    return {"columns": [name for name, *_ in result.description or []], "rows": result.fetchall()}


def run_python(code):
    exec(compile(code, "page", "exec"), names)
    last = ast.parse(code).body[-1]
    value = names[last.targets[0].id] if isinstance(last, ast.Assign) else None
    frame = value.reset_index() if isinstance(value, (pd.Series, pd.DataFrame)) else pd.DataFrame()
    rows = frame.astype(object).where(frame.notna(), None).values.tolist()
    return {"columns": [str(name) for name in frame.columns], "rows": rows}


run = {"sql": run_sql, "python": run_python}
print(json.dumps([run[block["language"]](block["code"]) for block in request["blocks"]], default=str))
