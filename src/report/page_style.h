// Style and script of the report page. Colours are CSS variables. The roles of shapes in drawings (ink, grid,
// s0 ...) use them, so that charts follow the page into dark mode.
#pragma once

namespace fer::detail {

inline constexpr const char* page_style = R"css(
:root{--paper:#fff;--raised:#f6f7f8;--ink:#1a1a1a;--faint:#5c5c5c;--rule:#d9dcdf;--link:#005a9c;--focus:#d55e00;
--s0:#0072b2;--s1:#d55e00;--s2:#009e73;--s3:#b0568c;--s4:#b37400;--s5:#2f8fc4;--s6:#5a5a5a;--s7:#8a7f00}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){color-scheme:dark;--paper:#15181b;--raised:#1e2226;
--ink:#e8e8e6;--faint:#a5a9ad;--rule:#373d43;--link:#7cc4f5;--focus:#ff9a4d;
--s0:#5cb3ee;--s1:#ff8f4a;--s2:#3ccf9f;--s3:#e6a0cb;--s4:#f0b23c;--s5:#8fd4ff;--s6:#b5b5b5;--s7:#f0e442}}
:root[data-theme=dark]{color-scheme:dark;--paper:#15181b;--raised:#1e2226;--ink:#e8e8e6;--faint:#a5a9ad;
--rule:#373d43;--link:#7cc4f5;--focus:#ff9a4d;
--s0:#5cb3ee;--s1:#ff8f4a;--s2:#3ccf9f;--s3:#e6a0cb;--s4:#f0b23c;--s5:#8fd4ff;--s6:#b5b5b5;--s7:#f0e442}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,Helvetica,Arial,sans-serif}
main,header>div{max-width:1080px;margin:0 auto;padding:0 16px}
header{border-bottom:1px solid var(--rule);background:var(--raised)}
header>div{display:flex;flex-wrap:wrap;gap:8px 20px;align-items:center;padding-top:12px;padding-bottom:12px}
h1{font-size:1.3rem;margin:0;flex:1 1 auto}
h2{font-size:1.25rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--rule);padding-bottom:.2rem}
h3{font-size:1.02rem;margin:1.4rem 0 .5rem}
a{color:var(--link)}
nav a{margin-right:12px;white-space:nowrap}
:focus-visible{outline:3px solid var(--focus);outline-offset:2px}
.skip{position:absolute;left:-999px}
.skip:focus{left:8px;top:8px;background:var(--paper);padding:6px 10px;z-index:2}
button{font:inherit;color:var(--ink);background:var(--paper);border:1px solid var(--rule);border-radius:6px;
padding:4px 12px;cursor:pointer}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
td.text{text-align:left}
thead th{color:var(--faint);font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:12px}
figure{margin:0}
.charts svg{width:100%;height:auto;display:block}
.chart{background:var(--raised);border-radius:8px;padding:6px}
.wide svg{display:block;max-width:none}
svg .ink{fill:var(--ink)}svg .faint{fill:var(--faint)}
svg .grid{stroke:var(--rule)}svg .axis{stroke:var(--faint)}
svg .line.s0{stroke:var(--s0)}svg .line.s1{stroke:var(--s1)}svg .line.s2{stroke:var(--s2)}
svg .line.s3{stroke:var(--s3)}svg .line.s4{stroke:var(--s4)}svg .line.s5{stroke:var(--s5)}
svg .line.s6{stroke:var(--s6)}svg .line.s7{stroke:var(--s7)}
svg .mark.s0,svg .area.s0{fill:var(--s0)}svg .mark.s1,svg .area.s1{fill:var(--s1)}
svg .mark.s2,svg .area.s2{fill:var(--s2)}svg .mark.s3,svg .area.s3{fill:var(--s3)}
svg .mark.s4,svg .area.s4{fill:var(--s4)}svg .mark.s5,svg .area.s5{fill:var(--s5)}
svg .mark.s6,svg .area.s6{fill:var(--s6)}svg .mark.s7,svg .area.s7{fill:var(--s7)}
svg .cell{stroke:var(--paper)}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:12px;padding:0;
list-style:none;margin:0}
.gallery li{background:var(--raised);border-radius:8px;padding:8px;font-size:.85rem}
.gallery .row{display:flex;gap:4px}
.gallery img{flex:1 1 0;min-width:0;width:33%;height:auto;border-radius:4px;display:block}
.gallery p{margin:4px 0 0;overflow-wrap:anywhere}
.note{color:var(--faint);font-size:.88rem}
details{margin:.6rem 0}
summary{cursor:pointer;color:var(--link)}
.settings{columns:2 300px;font-size:.85rem;margin:0;padding:0;list-style:none}
.settings li{break-inside:avoid;border-bottom:1px dotted var(--rule);display:flex;justify-content:space-between;gap:12px}
.settings span:last-child{overflow-wrap:anywhere;text-align:right}
footer{margin:3rem 0 2rem;color:var(--faint);font-size:.85rem}
@media print{button,nav,.skip{display:none}}
)css";

inline constexpr const char* page_script = R"js(
(function(){
var root=document.documentElement,button=document.getElementById('theme'),key='fer-report-theme';
function stored(){try{return localStorage.getItem(key)}catch(e){return null}}
function dark(){return root.dataset.theme?root.dataset.theme==='dark':matchMedia('(prefers-color-scheme: dark)').matches}
function show(){button.textContent=dark()?'Light':'Dark';
button.setAttribute('aria-label','Switch to '+(dark()?'light':'dark')+' colours')}
var before=stored();if(before==='dark'||before==='light')root.dataset.theme=before;
button.hidden=false;show();
button.addEventListener('click',function(){root.dataset.theme=dark()?'light':'dark';
try{localStorage.setItem(key,root.dataset.theme)}catch(e){}show()});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change',show);
})();
)js";

}  // namespace fer::detail
