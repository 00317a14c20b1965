"""What is generated around the chart in `eddy/`: schema, topics, README, copies of alarms and dashboards."""
