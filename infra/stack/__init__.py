"""The whole flow on one machine: `python -m infra.stack up|down|demo|status|keys`."""
