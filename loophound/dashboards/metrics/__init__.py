"""Figures for Prometheus, and health for whoever asks: read from the feed alone."""
