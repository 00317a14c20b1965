"""What every HTTP API shares: server, authentication, request bodies, problems, OpenAPI, health."""
