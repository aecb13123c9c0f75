# The GPU's MatMul beside its peer, shape by shape: medians and quartiles of the ratio, with launches that overlap and
# without. Columns: series (overlapped, plain), place (of the shape, from below), shape (its name), ratio, q1, q3.
# Variables: peer (its name); machine and measured (two lines of text: on what, and how).

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,700 dynamic enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,1400 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,6.4in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
tick_font = sized(0.85)
key_font = sized(0.9)
label(i) = word(series_names, i)
pretty(name) = name eq 'plain' ? 'plain launches' : 'launches that overlap'
style_of(name) = name eq 'plain' ? 2 : 1
beside(name) = name eq 'plain' ? -0.14 : (series > 1 ? 0.14 : 0)

stats data using (column(col_place)) nooutput name 'y'
stats data using (column(col_q1)) nooutput name 'low'
stats data using (column(col_q3)) nooutput name 'high'
least = low_min < 1 ? low_min : 1
most = high_max > 1 ? high_max : 1
pad = 0.05 * (most - least) + 0.002

set label 1 sprintf('MatMul against %s, shape by shape', peer) at screen 0.5,0.965 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.922 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.885 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set tmargin at screen 0.855
set bmargin at screen 0.205
set lmargin at screen 0.4
set rmargin at screen 0.965
set xrange [least - pad : most + pad]
set yrange [0.4 : y_max + 0.6]
set xtics most - least > 0.25 ? 0.1 : most - least > 0.12 ? 0.05 : 0.02 format '%.2f'
set ytics scale 0 font tick_font
set xtics font tick_font
set xlabel sprintf('ratio to %s', peer) offset 0,0.4
set key at screen 0.6,0.095 center top vertical maxrows 2 Left reverse samplen 1.7 width 1 font key_font
set arrow 1 from 1,graph 0 to 1,graph 1 nohead linestyle 20
plot for [i=1:series] data index (i-1) using (column(col_ratio)):(column(col_place) + beside(label(i))) \
         :(column(col_q1)):(column(col_q3)) with xerrorbars linestyle style_of(label(i)) title pretty(label(i)), \
     data index 0 using (column(col_ratio)):(column(col_place)):yticlabel(strcol(col_shape)) with dots linecolor rgb '#ffffff' notitle
