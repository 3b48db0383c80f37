"""Tests of ops/deploy, without a host."""
