"""What is learned and what is served by: shared by the trainer and the services that read its models."""
