"""Dashboards and service level objectives; `python -m infra.watching` writes their files."""
