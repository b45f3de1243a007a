"""The report as one page: figures, charts and tables of a period in a file that needs nothing else.

`content` asks the database, once; `charts` and `tables` are what is shown of it, as values and text; `page` makes HTML
of them. Names become harmless there and nowhere before.

`assets/chart.umd.min.js` is Chart.js 4.6.1 (MIT, `chart.LICENSE.md`), unchanged, `package/dist/chart.umd.min.js` of
https://registry.npmjs.org/chart.js/-/chart.js-4.6.1.tgz, sha256
87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2. The libraries that draw SVG are several times as large
(ECharts, Plot) or hardly kept (Chartist); what a canvas lacks, its figure has as a table.
"""
