# What fusing attention pays, over the length, in two panels. (a) The time of three passes over the time of one: medians
# and quartiles over pairs of samples, on a log axis. (b) The bytes that three passes move over those of one, counted from
# the loops. Columns: series, length, ratio, q1, q3 (quartiles of the ratio; of a count they are the count itself).
# Variables: machine and measured (two lines of text: on what, and how); heads (a line: the shape); threads_title (the
# number of threads, in words).

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,960 dynamic enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,1920 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,8.6in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
key_font = sized(0.9)
title_font = sized(0.95)

label(i) = word(series_names, i)
is_traffic(name) = strstrt(name, 'traffic') == 1
masked(name) = strstrt(name, 'causal') > 0
pretty(name) = (strstrt(name, 'threads') == 1 ? threads_title : is_traffic(name) ? 'counted' : 'one thread') \
    . (masked(name) ? ', causal' : ', no mask')
colour(i) = is_traffic(label(i)) ? (masked(label(i)) ? 2 : 1) : i
in_a(c) = is_traffic(strcol(col_series)) ? 1 : column(c)
in_b(c) = is_traffic(strcol(col_series)) ? column(c) : 1
stats data using (column(col_length)) nooutput name 'x'
stats data using (in_a(col_q1)) nooutput name 'a_low'
stats data using (in_a(col_q3)) nooutput name 'a_high'
stats data using (in_b(col_ratio)) nooutput name 'b'

set multiplot
set label 1 'What fusing attention pays' at screen 0.5,0.975 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.946 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.918 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 4 heads at screen 0.5,0.89 center noenhanced font sized(0.82) textcolor rgb '#333333' front

set logscale x 2
set xrange [x_min / 1.15 : x_max * 1.15]
set xtics 1,2 format '%.0f'
set xlabel 'length T (queries and keys)' offset 0,0.4
set lmargin at screen 0.18
set rmargin at screen 0.965
set title offset 0,-0.6 font title_font
set key vertical maxrows 2 Left reverse samplen 1.7 spacing 1.05 width 0 font key_font

# Halves and doubles are what one looks for in a ratio: the axis is in powers of two, with some numbers between them.
set tmargin at screen 0.835
set bmargin at screen 0.57
set key at screen 0.56,0.493 center top
set title '(a) time: three passes over one'
set ylabel 'ratio of times' offset -0.6,0
set logscale y 2
set yrange [a_low_min / 1.15 : a_high_max * 1.15]
set ytics (0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64) format '%g'
beside(i) = 1.03 ** (i - 2.5)
plot 1 with lines linestyle 20 notitle, \
     for [i=1:series] data index (i-1) using (column(col_length) * beside(i)) \
         :(is_traffic(label(i)) ? NaN : column(col_ratio)):(column(col_q1)):(column(col_q3)) \
         with yerrorbars linestyle colour(i) notitle, \
     for [i=1:series] data index (i-1) using (column(col_length) * beside(i)) \
         :(is_traffic(label(i)) ? NaN : column(col_ratio)) \
         with linespoints linestyle colour(i) title (is_traffic(label(i)) ? '' : pretty(label(i)))
unset label

set tmargin at screen 0.385
set bmargin at screen 0.16
set key at screen 0.56,0.085 center top
set title '(b) counted bytes: three passes over one'
set ylabel 'ratio of bytes' offset -0.6,0
set yrange [1 : b_max * 1.25]
plot for [i=1:series] data index (i-1) using (column(col_length)) \
         :(is_traffic(label(i)) ? column(col_ratio) : NaN) \
         with linespoints linestyle colour(i) title (is_traffic(label(i)) ? pretty(label(i)) : '')
unset multiplot
