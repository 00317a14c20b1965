"""`python -m infra.watching` writes the dashboards and the rules of the objectives."""

from infra.watching.files import write_all

if __name__ == "__main__":
    write_all()
