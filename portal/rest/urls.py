"""Paths of this face."""

urlpatterns: list = []
