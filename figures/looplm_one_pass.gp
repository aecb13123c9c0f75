# All digits of a sum in one pass, where one carry runs through all columns: exact match over the loops of the test, a line
# a length, and as horizontal lines of the same colours a static model; those at one height share it, dash by dash. Columns: length, loops, share, low, high. Variables: first and last
# (loops drawn in training), levels (the static model's shares, cut by '|'), layers (its depth), machine and measured (two
# lines of text), titles (the legend, one for a series, cut by '|').

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

stats data using (column(col_loops)) nooutput name 'x'
level(i) = real(part(levels, i))
set label 1 'LoopLM: full carry chains in one pass' at screen 0.5,0.962 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.918 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.880 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set lmargin at screen 0.145
set rmargin at screen 0.965
set tmargin at screen 0.835
set bmargin at screen 0.295
set key at screen 0.56,0.185 center top vertical maxrows 3 Left reverse samplen 2 spacing 1.1 width 0 font key_font
set yrange [-3 : 103]
set ytics 20
set ylabel 'exact match, %' offset 0.8,0
set logscale x 2
set xrange [x_min / 1.1 : x_max * 1.12]
set xtics (2, 4, 6, 8, 12, 16, 24, 32, 48)
set xlabel 'loops in the test' offset 0,0.4
set object 1 rectangle from first first, graph 0 to first last, graph 1 behind fillcolor rgb '#f0f4f8' fillstyle solid noborder
set label 4 'trained' at first sqrt(first * last), graph 1.025 center textcolor rgb '#666666' font sized(0.8)
set samples 4 * series * 14 + 1 # of each four steps three are a dash, and the dashes are the series' in turn
dash(step, i) = int(step) / 4 % series == i - 1 && int(step) % 4 < 3
plot for [i=1:series] '+' using 1:(dash($0, i) ? level(i) : NaN) with lines linecolor rgb spak_colour[i] linewidth 1.4 notitle, \
     NaN with lines linecolor rgb '#555555' linewidth 1.2 dashtype (8,5) title sprintf('static, %d layers', layers), \
     for [i=1:series] data index (i-1) using (column(col_loops)):(column(col_share)):(column(col_low)):(column(col_high)) \
         with yerrorbars linestyle i notitle, \
     for [i=1:series] data index (i-1) using (column(col_loops)):(column(col_share)) with linespoints linestyle i \
         title title_of(i)
