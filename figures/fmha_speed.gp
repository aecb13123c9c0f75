# The speed of each version of attention over the length. Columns: step, length, gflops, q1, q3 (quartiles). Operations
# are counted for the keys that a query sees. Variables: machine, measured, heads (three lines of text); threads_title.

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,640 dynamic enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,1280 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,5.8in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
key_font = sized(0.9)
title_font = sized(0.95)

# 'fused_causal' reads 'fused, causal'; the step on threads says on how many
label(i) = word(series_names, i)
base(name) = (at = strstrt(name, '_causal')) ? name[1:at-1] : name
pretty(i) = (base(label(i)) eq 'threads' ? threads_title : base(label(i))) \
    . (strstrt(label(i), '_causal') ? ', causal' : '')
stats data using (column(col_length)) nooutput name 'x'
stats data using (column(col_q1)) nooutput name 'low'
stats data using (column(col_q3)) nooutput name 'high'

set label 1 'Attention: the speed of each version' at screen 0.5,0.962 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.916 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.876 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 4 heads at screen 0.5,0.836 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set lmargin at screen 0.17
set rmargin at screen 0.965
set tmargin at screen 0.79
set bmargin at screen 0.3
set key at screen 0.56,0.165 center top
set key vertical maxrows 3 Left reverse samplen 1.7 spacing 1.05 width 0 font key_font
set logscale x 2
set xrange [x_min / 1.15 : x_max * 1.15]
set xtics 1,2 format '%.0f'
set xlabel 'length T (queries and keys)' offset 0,0.4
set ylabel 'GFLOP/s' offset -0.6,0
set logscale y 10
set yrange [low_min / 1.3 : high_max * 1.3]
set format y '%g'
set ytics 10
do for [d=-1:3] { set ytics add (sprintf('%g', 2 * 10.0**d) 2 * 10.0**d, sprintf('%g', 5 * 10.0**d) 5 * 10.0**d) }
beside(i) = 1.02 ** (i - 3.5) # so that steps of one speed do not hide each other's bars
plot for [i=1:series] data index (i-1) using (column(col_length) * beside(i)):(column(col_gflops)):(column(col_q1)) \
         :(column(col_q3)) with yerrorbars linestyle i notitle, \
     for [i=1:series] data index (i-1) using (column(col_length) * beside(i)):(column(col_gflops)) \
         with linespoints linestyle i title pretty(i)
