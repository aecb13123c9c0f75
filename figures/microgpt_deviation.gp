# How far the losses of each engine are from those of the double-precision molecule, relatively and step by step, on a log
# axis. Dots are single steps, lines the largest so far. A step without any difference is drawn at `floor`, the roundoff
# of a double, where a log axis needs something. Columns: engine, step, deviation, largest. Variables: limit (the
# claim's), limit_title, floor, machine and measured (two lines of text), titles (the legend, one for a series, cut by
# '|').

if (kind eq 'svg') {
    set terminal svg size 720,520 dynamic rounded enhanced font 'Helvetica,Arial,sans-serif,16' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    set terminal pngcairo size 1520,1060 rounded enhanced font 'sans,27' linewidth 2.8 pointscale 1.7 background '#ffffff'
}
if (kind eq 'pdf') {
    set terminal pdfcairo size 7.6in,5.1in rounded enhanced font 'sans,13' linewidth 1.4 background '#ffffff'
}
set output out
small = ',' . (kind eq 'svg' ? '13' : kind eq 'png' ? '22' : '10.5')

part(text, i) = (at = strstrt(text, '|')) ? (i == 1 ? text[1:at-1] : part(text[at+1:*], i - 1)) : text
title_of(i) = part(titles, i)
colour(i) = spak_colour[word(series_names, i) eq 'atom' ? 1 : 3]

stats data using (column(col_step)) nooutput name 'x'
stats data using (column(col_largest)) nooutput name 'y'

set title sprintf("microGPT: distance from the double-precision path\n{/*0.8 %s}\n{/*0.8 %s}", machine, measured)
set xlabel 'training step (one document each)' offset 0,0.2
set ylabel 'relative difference of the loss' offset 0.5,0
set logscale y 10
set format y '10^{%L}'
set xrange [0 : x_max * 1.01]
set yrange [floor / 200 : 10**ceil(log10(y_max > limit ? y_max : limit)) * 3]
set ytics 100
unset mytics
set rmargin 4
set label 1 'no difference' at graph 0.985, first floor right offset 0,-0.6 textcolor rgb '#555555' font small
# Below the axes, where no data can ever lie.
set bmargin at screen 0.27
set key at screen 0.53,0.125 center top vertical maxrows 2 Left reverse samplen 2.2 spacing 1.15 width 0 font small
plot limit with lines linestyle 20 title limit_title, \
     NaN with points pointtype 7 pointsize 0.35 linecolor rgb '#777777' title 'a single step', \
     for [i=1:series] data index (i-1) using (column(col_step)):(column(col_deviation)) with points \
         pointtype 7 pointsize 0.18 linecolor rgb colour(i) notitle, \
     for [i=1:series] data index (i-1) using (column(col_step)):(column(col_largest)) with lines \
         linecolor rgb colour(i) linewidth 2 title title_of(i)
