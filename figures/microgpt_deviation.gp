# How far the losses of each engine are from those of the double-precision molecule, relatively and step by step, on a log
# axis. Dots are single steps, lines the largest so far. A step without any difference is drawn at `floor`, the roundoff
# of a double, where a log axis needs something. Columns: engine, step, deviation, largest. Variables: limit (the
# claim's), limit_title, floor, machine and measured (two lines of text), titles (the legend, one for a series, cut by
# '|').

part(text, i) = (at = strstrt(text, '|')) ? (i == 1 ? text[1:at-1] : part(text[at+1:*], i - 1)) : text
title_of(i) = part(titles, i)

stats data using (column(col_step)) nooutput name 'x'
stats data using (column(col_largest)) nooutput name 'y'

set title sprintf("microGPT: distance from the double-precision path\n{/*0.8 %s}\n{/*0.8 %s}", machine, measured)
set xlabel 'training step'
set ylabel 'relative difference of the loss'
set logscale y 10
set format y '10^{%L}'
set xrange [0 : x_max * 1.01]
set yrange [floor / 3 : 10**ceil(log10(y_max > limit ? y_max : limit)) * 3]
set ytics 100
set key bottom outside center horizontal Left reverse samplen 2.2 width 1
plot limit with lines linestyle 20 title limit_title, \
     for [i=1:series] data index (i-1) using (column(col_step)):(column(col_deviation)) with points \
         pointtype 7 pointsize 0.16 linecolor rgb spak_colour[i == 1 ? 1 : 3] notitle, \
     for [i=1:series] data index (i-1) using (column(col_step)):(column(col_largest)) with lines \
         linecolor rgb spak_colour[i == 1 ? 1 : 3] linewidth 2 title title_of(i)
