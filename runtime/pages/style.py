"""How pages look: one sheet of styles for whole pages and for what stands inside of notebooks."""

from __future__ import annotations

# Colours by their use, light and dark; plots name them, too.
LIGHT = {
    "paper": "#ffffff",
    "ink": "#1a1d21",
    "soft": "#5a626c",
    "rule": "#e2e5e9",
    "wash": "#f5f6f8",
    "accent": "#2563a8",
    "good": "#23724a",
    "bad": "#b02a43",
    "grid": "#e8eaed",
    "frame": "#9aa1a9",
    "c0": "#2f6fb0",
    "c1": "#d1662b",
    "c2": "#3a8f5c",
    "c3": "#9a4fa3",
    "c4": "#b8861f",
    "c5": "#5a626c",
    "c6": "#b33a4e",
    "c7": "#2f8b9a",
    "k0": "#e8f4e5",
    "k1": "#f1f2f4",
    "k2": "#fff5d1",
    "k3": "#fde3cd",
    "k4": "#f8cdb8",
    "k5": "#d3e3f6",
    "k6": "#e6daf1",
    "k7": "#f8d6e2",
}
DARK = {
    "paper": "#15181c",
    "ink": "#e3e6ea",
    "soft": "#9aa3ae",
    "rule": "#2c3239",
    "wash": "#1d2126",
    "accent": "#7db4ec",
    "good": "#6cc493",
    "bad": "#f08a9b",
    "grid": "#262b31",
    "frame": "#69717a",
    "c0": "#6ea8e0",
    "c1": "#ee935f",
    "c2": "#6bbf8a",
    "c3": "#c58bce",
    "c4": "#dbb25a",
    "c5": "#a8b0ba",
    "c6": "#e87f90",
    "c7": "#6cc3d1",
    "k0": "#1f3524",
    "k1": "#272c32",
    "k2": "#3a3419",
    "k3": "#42301f",
    "k4": "#4d2f22",
    "k5": "#1f334a",
    "k6": "#352a42",
    "k7": "#472a36",
}


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


# In a notebook, the page around decides on light or dark, which only it knows: text takes the colour of what is around it.
INSIDE = (
    f".vspec-inside{{{_variables(LIGHT)}--ink:currentColor;--soft:currentColor;--rule:#80808040;--wash:#80808018;"
    "--grid:#80808030;--frame:#80808090;--accent:#3f82c8;--good:#2f9160;--bad:#d0485f;--paper:transparent;"
    "--k0:#6fb56f38;--k1:#80808026;--k2:#e0c04038;--k3:#e0904038;--k4:#e0704045;--k5:#5090e038;--k6:#a070d038;--k7:#e0709038;"
    "font-size:14px;max-width:60rem}"
)

PAGE = f"""
:root{{color-scheme:light dark;{_variables(LIGHT)}}}
@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}
@media print{{:root{{color-scheme:light;{_variables(LIGHT)}}}}}
html{{background:var(--paper);color:var(--ink);-webkit-text-size-adjust:100%;scroll-padding-top:1rem}}
body{{margin:0;font-size:16px}}
"""

BASE = """
.vspec{color:var(--ink);font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;line-height:1.5;
overflow-wrap:break-word}
.vspec *{box-sizing:border-box}
.vspec main,.vspec header,.vspec footer{max-width:66rem;margin:0 auto;padding:0 1.25rem}
.vspec header{padding-top:2.25rem}
.vspec footer{padding-top:2rem;padding-bottom:3rem;color:var(--soft);font-size:.82em}
.vspec h1{font-size:1.9em;line-height:1.2;letter-spacing:-.015em;margin:0 0 .35rem;font-weight:680;text-wrap:balance}
.vspec h2{font-size:1.3em;line-height:1.3;margin:0 0 .9rem;font-weight:650;letter-spacing:-.008em}
.vspec h3{font-size:1em;margin:1.6rem 0 .6rem;font-weight:650}
.vspec h4{font-size:.88em;margin:0 0 .3rem;font-weight:600;color:var(--soft)}
.vspec p{margin:0 0 .8rem;max-width:46rem}
.vspec .lead{font-size:1.06em;color:var(--soft);margin-bottom:1.1rem}
.vspec .note{font-size:.86em;color:var(--soft)}
.vspec section{padding:1.7rem 0 .2rem;border-top:1px solid var(--rule);margin-top:1.2rem}
.vspec a{color:var(--accent);text-decoration:none}
.vspec a:hover,.vspec a:focus-visible{text-decoration:underline}
.vspec nav{margin:1.2rem 0 0}
.vspec nav ul{display:flex;flex-wrap:wrap;gap:.35rem .4rem;list-style:none;margin:0;padding:0}
.vspec nav a{display:inline-block;padding:.22rem .7rem;border:1px solid var(--rule);border-radius:1rem;font-size:.86em}
.vspec nav a:hover{background:var(--wash);text-decoration:none}
.vspec .chip{display:inline-block;padding:.08rem .6rem;border-radius:1rem;font-size:.82em;font-weight:600;
border:1px solid currentColor;margin:0 .4rem .4rem 0;white-space:nowrap}
.vspec .good{color:var(--good)}.vspec .bad{color:var(--bad)}.vspec .soft{color:var(--soft)}
.vspec .wide{overflow-x:auto;margin:0 0 1rem;max-width:100%}
.vspec .wide:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.vspec table{border-collapse:collapse;font-size:.88em;width:auto;margin:0;background:transparent}
.vspec caption{caption-side:top;text-align:left;font-weight:600;padding:0 0 .4rem}
.vspec th,.vspec td{padding:.36rem .9rem .36rem 0;text-align:left;vertical-align:baseline;border-bottom:1px solid var(--rule);
background:transparent;color:inherit}
.vspec th:last-child,.vspec td:last-child{padding-right:.2rem}
.vspec thead th{font-weight:600;color:var(--soft);white-space:nowrap;border-bottom-color:var(--frame)}
.vspec .num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.vspec code,.vspec pre{font-family:ui-monospace,SFMono-Regular,"Cascadia Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:.9em;background:transparent;color:inherit}
.vspec td code{white-space:nowrap}.vspec td code.said{display:inline-block;min-width:13rem;
white-space:normal;overflow-wrap:anywhere}
.vspec .facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,7.6rem),1fr));gap:.8rem 1.2rem;margin:0 0 1rem}
.vspec .facts div{min-width:0}
.vspec .facts dt{font-size:.8em;color:var(--soft)}
.vspec .facts dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.vspec details{margin:0 0 .7rem;border:1px solid var(--rule);border-radius:.5rem;padding:0 .9rem}
.vspec summary{cursor:pointer;padding:.5rem 0;font-weight:600;font-size:.94em}
.vspec summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.vspec details[open]>summary{margin-bottom:.5rem;border-bottom:1px solid var(--rule)}
.vspec summary .soft{font-weight:400}
.vspec math{font-size:1.06em}.vspec td a,.vspec .one{white-space:nowrap}
.vspec munder>:nth-child(2),.vspec munderover>:nth-child(2){padding-top:.14em}
.vspec .formulas{overflow-x:auto;margin:0 0 1rem}
.vspec .formulas table{font-size:1em;min-width:0}
.vspec .formulas td{border:0;padding:.34rem 1rem .34rem 0;vertical-align:middle;white-space:nowrap}
.vspec .formulas .where{font-size:.8em;text-align:right}
.vspec .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1.2rem 1.6rem;
margin:0 0 1.2rem}
.vspec figure{margin:0 0 .4rem;min-width:0}
.vspec figcaption{font-size:.84em;color:var(--soft);margin-top:.25rem}
.vspec svg{max-width:100%;height:auto;display:block}
.vspec svg text{font-family:inherit}
.vspec img{max-width:100%;height:auto;display:block;border-radius:.3rem}
.vspec .drawing{overflow:auto;max-height:34rem;border:1px solid var(--rule);border-radius:.5rem;padding:.6rem;margin:0 0 1rem}
.vspec .drawing svg{max-width:none;margin:0 auto}
.vspec .hit{fill:transparent;stroke:none}
.vspec .hit:hover{fill:var(--ink);fill-opacity:.28}
.vspec .listing{overflow-x:auto;margin:0 0 1rem;border:1px solid var(--rule);border-radius:.5rem;background:var(--wash);
padding:.6rem 0;font-size:.84em;line-height:1.55;max-height:44rem;overflow-y:auto}
.vspec .listing ol{list-style:none;margin:0;padding:0;min-width:max-content}
.vspec .listing li{display:flex;padding:0 1rem 0 0}
.vspec .listing li:target{background:color-mix(in srgb,var(--accent) 20%,transparent)}
.vspec .listing a{flex:0 0 auto;width:3.6rem;text-align:right;padding-right:1rem;color:var(--soft);user-select:none}
.vspec .listing code{white-space:pre;font-size:1em}
@media (max-width:40rem){.vspec main,.vspec header,.vspec footer{padding-left:.9rem;padding-right:.9rem}
.vspec header{padding-top:1.3rem}.vspec h1{font-size:1.55em}.vspec section{padding-top:1.3rem;margin-top:1rem}
.vspec details{padding:0 .7rem}}
@media print{.vspec nav{display:none}.vspec section{break-inside:auto}.vspec figure,.vspec tr{break-inside:avoid}
.vspec .listing,.vspec .drawing{max-height:none}.vspec details::details-content{content-visibility:visible;block-size:auto}}
"""
