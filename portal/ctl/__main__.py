"""``python -m portal.ctl``, and what the built file runs."""

from portal.ctl.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
