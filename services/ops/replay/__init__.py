"""Replays: events of the past through the live pipeline or an isolated shadow of it, and what came of it."""
