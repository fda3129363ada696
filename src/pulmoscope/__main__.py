"""``python -m pulmoscope``."""

from pulmoscope.cli import main

if __name__ == "__main__":
    main()
