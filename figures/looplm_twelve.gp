# Exact match over length, far beyond training, on a log axis of lengths: every seed of the model with alignment and
# locality, and what is left without. The seeds lie on each other, so the strokes are nested, the first the widest.
# Columns: series, digits, share, low, high. Variables: trained (the longest length of training), machine and measured
# (two lines of text), titles (the legend, one for a series, cut by '|').

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
name(i) = word(series_names, i)
seed(i) = name(i)[1:4] eq 'seed'
seeds = sum [i=1:series] seed(i)
nested(i) = seed(i) ? 1.3 + 2.2 * (seeds - i) : 1.6
colour(i) = seed(i) ? spak_colour[(i - 1) % 6 + 1] : (name(i) eq 'plain' ? 0x555555 : 0x999999)
set label 1 sprintf('LoopLM: trained on 1 to %d digits', trained) at screen 0.5,0.962 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.918 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.880 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set lmargin at screen 0.145
set rmargin at screen 0.965
set tmargin at screen 0.835
set bmargin at screen 0.335
set key at screen 0.56,0.225 center top vertical maxrows 4 Left reverse samplen 2 spacing 1.1 width 0 font key_font
set yrange [-3 : 103]
set ytics 20
set ylabel 'exact match, %' offset 0.8,0
set logscale x 10
set xrange [x_min / 1.1 : x_max * 1.12]
set xtics (1, 2, 4, 6, 12, 20, 40, 60, 100)
set xlabel 'digits of both operands' offset 0,0.4
set object 1 rectangle from graph 0, graph 0 to first trained * 1.1, graph 1 behind fillcolor rgb '#f0f4f8' fillstyle solid noborder
set label 4 'trained' at first sqrt(x_min * trained), graph 1.025 center textcolor rgb '#666666' font sized(0.8)
plot for [i=1:series] data index (i-1) using (column(col_digits)):(column(col_share)):(column(col_low)):(column(col_high)) \
         with yerrorbars linecolor rgb colour(i) linewidth 1 pointtype 7 pointsize 0.4 notitle, \
     for [i=1:seeds] data index (i-1) using (column(col_digits)):(column(col_share)) with lines \
         linecolor rgb colour(i) linewidth nested(i) title title_of(i), \
     for [i=seeds+1:series] data index (i-1) using (column(col_digits)):(column(col_share)) with lines \
         linecolor rgb colour(i) linewidth nested(i) dashtype 2 title title_of(i)
