"""Failing a benchmark whose work was not done."""


def require(holds: bool, otherwise: str):
    if not holds:
        raise SystemExit(f"benchmark failed: {otherwise}")
