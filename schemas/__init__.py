"""The contracts: topics, messages and vector layout. Every service imports these, never each other."""
