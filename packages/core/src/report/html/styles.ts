/** The style sheet of a report; its hash is the only style the report's own policy lets in. */
export const STYLES: string = `
:root{color-scheme:light dark;
--page:#f6f7f9;--card:#fff;--text:#14181f;--soft:#566070;--line:#d9dee6;--code:#f0f2f6;--link:#0b57b0;
--good:#116b3a;--good-back:#e2f5e9;--bad:#b3141f;--bad-back:#fdeaea;--warn:#8a5300;--warn-back:#fff3d9;
--info:#3a4a9b;--info-back:#eaedfb;--none:#566070;--none-back:#eceff3;--mark:#fff4cc;--shadow:0 1px 2px #0001,0 2px 8px #0000000d}
@media(prefers-color-scheme:dark){:root{
--page:#0f1216;--card:#181c22;--text:#e7eaef;--soft:#9aa5b4;--line:#2e3540;--code:#20262e;--link:#7db4ff;
--good:#63d08f;--good-back:#12311f;--bad:#ff8a86;--bad-back:#3b1719;--warn:#f0b44c;--warn-back:#362709;
--info:#a3b1ff;--info-back:#20274a;--none:#9aa5b4;--none-back:#262c35;--mark:#3d3410;--shadow:none}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main,header,footer{max-width:68rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2rem}
footer{padding-bottom:3rem;color:var(--soft);font-size:.875rem}
h1,h2,h3,h4{line-height:1.25;margin:0;overflow-wrap:anywhere}
h1{font-size:clamp(1.5rem,5vw,2.125rem);letter-spacing:-.01em}
h2{font-size:1.25rem;margin:2.5rem 0 .875rem}
h3{font-size:1.0625rem}
h4{font-size:.8125rem;color:var(--soft);margin:1.25rem 0 .375rem;font-weight:600}
p{margin:.5rem 0}
a{color:var(--link)}
a:focus-visible,summary:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:3px}
code,pre,.code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.875em}
code{overflow-wrap:anywhere}
bdi{unicode-bidi:isolate}
.eyebrow{color:var(--soft);font-size:.875rem;margin:0 0 .25rem}
.meta{color:var(--soft);font-size:.875rem;margin:.25rem 0 0;overflow-wrap:anywhere}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.125rem 1.25rem;margin:0 0 1rem;box-shadow:var(--shadow);min-width:0}
.card>:first-child{margin-top:0}.card>:last-child{margin-bottom:0}
.banner{border-radius:.75rem;padding:1.25rem 1.375rem;margin:1.25rem 0;border:1px solid;border-left-width:.5rem;background:var(--card)}
.banner.allow{border-color:var(--good);background:var(--good-back)}
.banner.deny{border-color:var(--bad);background:var(--bad-back)}
.banner .word{display:flex;align-items:center;gap:.625rem;font-size:1.5rem;font-weight:700;line-height:1.2;margin:0}
.banner.allow .word{color:var(--good)}.banner.deny .word{color:var(--bad)}
.banner .word svg{width:1.75rem;height:1.75rem;flex:none}
.banner .incomplete{margin:.75rem 0 0;padding:.5rem .75rem;border-radius:.5rem;background:var(--warn-back);color:var(--warn);font-weight:600}
.banner .run{margin:.875rem 0 0}
.banner .run span{display:block;font-size:.875rem;font-weight:600}
.banner pre{margin:.25rem 0 0;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.625rem .75rem;white-space:pre-wrap;overflow-wrap:anywhere;user-select:all}
.facts{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:.75rem;margin:0}
.facts div{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:.75rem 1rem}
.facts dt{color:var(--soft);font-size:.8125rem}
.facts dd{margin:0;font-size:1.0625rem;font-weight:600}
.chip{display:inline-block;border-radius:1rem;padding:.0625rem .5625rem;font-size:.8125rem;font-weight:600;line-height:1.5;white-space:nowrap;color:var(--none);background:var(--none-back)}
.chip.good{color:var(--good);background:var(--good-back)}.chip.bad{color:var(--bad);background:var(--bad-back)}
.chip.warn{color:var(--warn);background:var(--warn-back)}.chip.info{color:var(--info);background:var(--info-back)}
ul.plain,ol.plain{list-style:none;margin:0;padding:0}
.rows>li{display:grid;grid-template-columns:7rem minmax(0,1fr);gap:.25rem .875rem;padding:.75rem 0;border-top:1px solid var(--line)}
.rows>li:first-child{border-top:0;padding-top:0}.rows>li:last-child{padding-bottom:0}
.rows p{margin:.125rem 0;overflow-wrap:anywhere}
.soft{color:var(--soft);font-size:.875rem}
.fix{font-size:.9375rem}.fix b{font-weight:600}
dl.pairs{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.25rem 1rem;margin:.5rem 0;font-size:.9375rem}
dl.pairs dt{color:var(--soft)}dl.pairs dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:0 -1.25rem;padding:0 1.25rem}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th,td{text-align:left;vertical-align:top;padding:.5rem .875rem .5rem 0;border-top:1px solid var(--line);overflow-wrap:anywhere}
tr:first-child>th{border-top:0}
th[scope=row]{min-width:12rem}
thead th{color:var(--soft);font-size:.8125rem;font-weight:600;white-space:nowrap}
tbody tr:first-child>*{border-top:1px solid var(--line)}
td.number{font-variant-numeric:tabular-nums}
details>summary{cursor:pointer;color:var(--link);font-size:.9375rem;padding:.25rem 0}
.listing{margin:.5rem 0;border:1px solid var(--line);border-radius:.5rem;background:var(--code);font-size:.8125rem;line-height:1.55;overflow:hidden;padding:.375rem 0;counter-reset:none}
.listing li{display:grid;grid-template-columns:3rem minmax(0,1fr);white-space:pre-wrap;overflow-wrap:anywhere;tab-size:4;padding-right:.75rem}
.listing li>span{color:var(--soft);text-align:right;padding-right:.875rem;user-select:none}
.listing li.hit{background:var(--mark);box-shadow:inset .25rem 0 var(--warn)}
.listing li.hit.bad{background:var(--bad-back);box-shadow:inset .25rem 0 var(--bad)}
.listing li.note{display:block;padding:.125rem .75rem .25rem 3rem;color:var(--bad);font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-weight:600}
.listing li.note.warn{color:var(--warn)}
pre.log{margin:.5rem 0;border:1px solid var(--line);border-radius:.5rem;background:var(--code);padding:.625rem .75rem;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8125rem;max-height:24rem;overflow:auto}
.number-badge{display:inline-grid;place-items:center;min-width:1.5rem;height:1.5rem;border-radius:.75rem;padding:0 .375rem;background:var(--none-back);color:var(--soft);font-size:.8125rem;font-weight:700;margin-right:.5rem;vertical-align:.0625rem}
.title{display:flex;flex-wrap:wrap;align-items:baseline;gap:.375rem .625rem}
.legend{display:flex;flex-wrap:wrap;gap:.375rem 1.25rem;margin:.875rem 0 0;padding:0;list-style:none;font-size:.8125rem;color:var(--soft)}
.legend svg{width:2.25rem;height:.75rem;vertical-align:middle;margin-right:.375rem}
.picture{display:block;height:auto;margin:0 auto;max-width:100%}
.picture.narrow{display:none}
.picture text{fill:var(--text);font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.picture .name{font-weight:700;font-size:14px}
.picture .small{font-size:11.5px;fill:var(--soft)}
.picture .label{font:600 12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.picture .badge{font:700 12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
.picture .box{fill:var(--card);stroke:var(--line);stroke-width:1.5}
.picture .box.bad{stroke:var(--bad)}.picture .box.good{stroke:var(--good)}.picture .box.warn{stroke:var(--warn)}
.picture a:hover .box,.picture a:focus .box{stroke:var(--link);stroke-width:2.5}
.picture a{text-decoration:none}
.picture .end{fill:var(--none-back);stroke:var(--line);stroke-dasharray:4 4}
.picture .end.bad{fill:var(--bad-back);stroke:var(--bad)}
.edge{fill:none;stroke-width:2.5;stroke:var(--none)}
.edge.proven,.edge.attested{stroke:var(--good)}.edge.claimed{stroke:var(--warn);stroke-dasharray:7 4}
.edge.contradicted{stroke:var(--bad);stroke-dasharray:2 3;stroke-width:4}.edge.unknown{stroke-dasharray:2 5}
.edge.attested{stroke-dasharray:14 3}
.picture .pill{fill:var(--none-back)}.picture .pill.good{fill:var(--good-back)}.picture .pill.bad{fill:var(--bad-back)}
.picture .pill.warn{fill:var(--warn-back)}
.picture text.good{fill:var(--good)}.picture text.bad{fill:var(--bad)}.picture text.warn{fill:var(--warn)}.picture text.none{fill:var(--none)}
.arrow{fill:var(--none)}.arrow.proven,.arrow.attested{fill:var(--good)}.arrow.claimed{fill:var(--warn)}.arrow.contradicted{fill:var(--bad)}
@media(max-width:46rem){
main,header,footer{padding-left:.875rem;padding-right:.875rem}
.card{padding:1rem .875rem}.scroll{margin:0 -.875rem;padding:0 .875rem}
.rows>li{grid-template-columns:minmax(0,1fr)}
.facts{grid-template-columns:repeat(2,minmax(0,1fr))}
.picture.wide{display:none}.picture.narrow{display:block}
dl.pairs{grid-template-columns:minmax(0,1fr);gap:0}dl.pairs dd{margin-bottom:.375rem}
.listing li{grid-template-columns:2.25rem minmax(0,1fr)}.listing li>span{padding-right:.5rem}.listing li.note{padding-left:2.25rem}
table.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table.stack,table.stack tbody,table.stack tr,table.stack td,table.stack th{display:block}
table.stack tr{border-top:1px solid var(--line);padding:.5rem 0}table.stack tr:first-child{border-top:0}
table.stack td,table.stack th{min-width:0;border:0!important;padding:.125rem 0}
table.stack td[data-label]::before{content:attr(data-label) ": ";color:var(--soft);font-size:.8125rem}}
@media print{
:root{color-scheme:light;--page:#fff;--card:#fff;--text:#000;--soft:#444;--line:#bbb;--code:#f4f4f4;--link:#000;
--good:#0d5a30;--good-back:#eaf6ee;--bad:#98101a;--bad-back:#fdeeee;--warn:#6e4200;--warn-back:#fff6e0;
--info:#2f3d85;--info-back:#eef0fb;--none:#444;--none-back:#eee;--mark:#fff4cc;--shadow:none}
body{font-size:11pt}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
main,header,footer{max-width:none;padding:0}
.card,.banner,.rows>li,tr{break-inside:avoid}.card.long{break-inside:auto}h2,h3{break-after:avoid}
details::details-content{content-visibility:visible;display:block;height:auto}
pre.log{max-height:none}a{text-decoration:none}}
`;
