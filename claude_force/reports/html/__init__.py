"""The HTML report: totals, charts and tables of a period in one file that loads nothing.

| module | does |
|---|---|
| `content` | reads everything from the database, in one transaction |
| `charts`, `tables`, `notes` | turn the content into series, tables and sentences |
| `elements` | writes figures, charts and tables as HTML, and escapes every name |
| `page` | puts them into one file |

`assets/chart.umd.min.js` is the unchanged file `package/dist/chart.umd.min.js` of Chart.js 4.6.1 (MIT,
`chart.LICENSE.md`): https://registry.npmjs.org/chart.js/-/chart.js-4.6.1.tgz, sha256
87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2. Libraries that draw SVG are several times larger
(ECharts, Plot) or poorly maintained (Chartist). A canvas cannot be read aloud, so each chart has a table, too.
"""
