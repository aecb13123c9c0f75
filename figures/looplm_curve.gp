# Exact match over the length of the operands, a line a model, with 95 % intervals (Wilson, all seeds together). Models
# whose shares agree would hide each other: they stand side by side around the length. Columns: model, digits, share,
# low, high. Variables: trained (the longest length of training), machine and measured (two lines of text), titles (the
# legend, one for a series, cut by '|').

if (kind eq 'svg') {
    points = 16
    set terminal svg size 680,640 dynamic rounded enhanced font 'Helvetica,Arial,sans-serif,16' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 30
    set terminal pngcairo size 1360,1280 rounded enhanced font 'sans,30' linewidth 3 pointscale 1.8 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 13
    set terminal pdfcairo size 6.4in,5.9in rounded enhanced font 'sans,13' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
key_font = sized(0.85)

part(text, i) = (at = strstrt(text, '|')) ? (i == 1 ? text[1:at-1] : part(text[at+1:*], i - 1)) : text
title_of(i) = part(titles, i)

stats data using (column(col_digits)) nooutput name 'x'
set label 1 'LoopLM: exact match over length' at screen 0.5,0.962 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.918 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.880 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set lmargin at screen 0.145
set rmargin at screen 0.965
set tmargin at screen 0.835
set bmargin at screen 0.365
set key at screen 0.56,0.245 center top vertical maxrows 5 Left reverse samplen 2 spacing 1.1 width 0 font key_font
set yrange [-3 : 103]
set ytics 20
set ylabel 'exact match, %' offset 0.8,0
set xrange [x_min - 0.45 : x_max + 0.45]
set xtics 1
set xlabel 'digits of both operands' offset 0,0.4
set object 1 rectangle from graph 0, graph 0 to first trained + 0.5, graph 1 behind fillcolor rgb '#f0f4f8' fillstyle solid noborder
set label 4 'trained' at first (x_min + trained) / 2.0, graph 1.025 center textcolor rgb '#666666' font sized(0.8)
beside(i) = 0.07 * (i - (series + 1) / 2.0)
plot for [i=1:series] data index (i-1) using (column(col_digits) + beside(i)):(column(col_share)):(column(col_low)) \
         :(column(col_high)) with yerrorbars linestyle i notitle, \
     for [i=1:series] data index (i-1) using (column(col_digits) + beside(i)):(column(col_share)) with linespoints \
         linestyle i title title_of(i)
