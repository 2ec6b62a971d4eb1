"""`python -m nightshift.serving.embedded`: a process that only serves."""

from nightshift.serving.light import load_light_runtime

if __name__ == "__main__":
    load_light_runtime()
    from nightshift.serving.embedded.command import main

    main()
