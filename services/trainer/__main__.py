"""`python -m services.trainer`: learns from history, measures, releases."""

from services.trainer.commands import app

if __name__ == "__main__":
    app()
