"""The JavaScript kit of ops/clients/js, in the runtimes that apps, CLIs and pages have."""
