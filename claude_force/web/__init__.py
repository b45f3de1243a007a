"""The live page: what `claude-force serve` shows on 127.0.0.1.

| module | does |
|---|---|
| `answers` | what a view asks a command, and what it gets |
| `view`, `views/` | the views: a path, a command, a template, and what it needs |
| `links` | addresses: the filters of a view are the options of its command |
| `shell` | what is around a view: navigation, heading, filters, and the page of a problem |
| `pages` | templates, and what they share with the report |
| `app` | routes: HTML, JSON, events, forms |
| `safety` | who may ask, and what a page may do |
| `live`, `watcher` | one look for all pages, which tells them that something is new |
| `server` | the port |

A view is a command. `/outcomes?by=model&days=7` asks `claude-force outcomes --by model --days 7`: the same words, the
same figures, the same errors, and `&format=json` gives the JSON of that command. The command runs in this process and
hands over what it computed (`cli/asked.py`), so there is no second way to compute a figure.

To add a view:

1. If its command does not hand its answer over yet: reports that end in `cli.options.show` do. Any other command calls
   `asked()`, and gives `take` its report and a function that writes its JSON, before it would write.
2. A module `views/NAME.py` with a `View`: path, title, command, template, `fill`, which gets a `Visit` and returns the
   variables of the template, and the `words` that it takes beside the filters; all other options are refused. Tables
   are those of `reports/layouts`; a cell that leads on is `Linked(text, href)`, and `visit.links` makes the addresses.
3. A template `templates/NAME.html` that extends `base.html` and fills `main`. `table`, `notes`, `page` draw what
   the report draws. Text is escaped; there are no style attributes and no scripts.
4. The View in `views/__init__.py`, in the order of the navigation.

What changes something is an `Action`: a command that is asked by POST, with the token of the page. A form of it is
written by the macro `action` of `forms.html`.
"""
