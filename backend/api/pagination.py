"""Lists are read in pages by cursor: what is added meanwhile neither repeats nor hides a row."""

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """The newest first, 25 at a time unless `page_size` says otherwise (at most 100)."""

    ordering = "-id"
    page_size = 25
    page_size_query_param = "page_size"
    max_page_size = 100
    cursor_query_description = "Where to go on: from `next` or `previous` of an earlier answer."
