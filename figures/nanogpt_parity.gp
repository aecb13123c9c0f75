# How far single precision is from double after each block of a GPT-2, as the root mean square of the error over that of
# the state, on a log axis. Columns: series, block, relative. Variables: titles (the legend, one for a series, cut by '|';
# nothing for sharp scores), colours (a number for each series), sharp (times the scores), unit (the roundoff of a float),
# machine and measured (two lines of text).

if (kind eq 'svg') {
    set terminal svg size 720,540 dynamic rounded enhanced font 'Helvetica,Arial,sans-serif,16' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    set terminal pngcairo size 1520,1120 rounded enhanced font 'sans,27' linewidth 2.8 pointscale 1.7 background '#ffffff'
}
if (kind eq 'pdf') {
    set terminal pdfcairo size 7.6in,5.4in rounded enhanced font 'sans,13' linewidth 1.4 background '#ffffff'
}
set output out
small = ',' . (kind eq 'svg' ? '13' : kind eq 'png' ? '22' : '10.5')

part(text, i) = (at = strstrt(text, '|')) ? (i == 1 ? text[1:at-1] : part(text[at+1:*], i - 1)) : text
title_of(i) = part(titles, i)
is_sharp(i) = title_of(i) eq ''
dash(i) = is_sharp(i) ? 2 : 1
point(i) = is_sharp(i) ? 6 : 7
colour(i) = spak_colour[int(word(colours, i))]

stats data using (column(col_block)) nooutput name 'x'
stats data using (column(col_relative)) nooutput name 'y'

set title sprintf("GPT-2: error of single precision over depth\n{/*0.8 %s}\n{/*0.8 %s}", machine, measured)
set xlabel 'blocks passed (0: the embedding)' offset 0,0.2
set ylabel 'relative error of the state' offset 0.5,0
set logscale y 10
set format y '10^{%L}'
set xrange [-0.3 : x_max + 0.3]
set yrange [10**floor(log10(y_min < unit ? y_min : unit)) : 10**ceil(log10(y_max)) ]
set xtics 1
set ytics 10
set key outside right center vertical Left reverse samplen 2.4 spacing 1.25 width -2 font small
plot for [i=1:series] data index (i-1) using (column(col_block)):(column(col_relative)) with linespoints \
         linecolor rgb colour(i) dashtype dash(i) pointtype point(i) pointsize 0.7 linewidth 1.6 title title_of(i), \
     NaN with linespoints linecolor rgb '#555555' dashtype 2 pointtype 6 pointsize 0.7 linewidth 1.6 \
         title sprintf('scores × %g', sharp), \
     unit with lines linecolor rgb '#222222' linewidth 1.2 dashtype 3 title 'roundoff'
