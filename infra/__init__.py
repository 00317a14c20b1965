"""Running Eddy: the development broker, the local stack, and the operations documents."""
