# Decoding on the GPU: what is read of the cache a second, ours and the peer's, beside the GPU's own copy. Columns: series
# (ours, peer), place, what (text), rate, q1, q3. Variables: peer (its name); copy (GB/s); machine and measured (two lines
# of text: on what, and how).

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,480 dynamic enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,960 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,4.4in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
tick_font = sized(0.82)
key_font = sized(0.9)
label(i) = word(series_names, i)
stats data using (column(col_place)) nooutput name 'y'
stats data using (column(col_q3)) nooutput name 'high'
most = high_max > copy ? high_max : copy
set label 1 'Decoding: one query against a long cache' at screen 0.5,0.955 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.895 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.84 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set tmargin at screen 0.75
set bmargin at screen 0.29
set lmargin at screen 0.41
set rmargin at screen 0.955
set xrange [0 : most * 1.06]
set yrange [y_max + 0.6 : 0.4]
set xtics 1000 font tick_font
set ytics scale 0 font tick_font
set xlabel 'GB/s' offset 0,0.4
set key at screen 0.52,0.12 center top horizontal Left reverse samplen 1.7 width 1 font key_font
set label 4 "the GPU's own copy" at copy,graph 1.06 right noenhanced font tick_font front
set arrow 1 from copy,graph 0 to copy,graph 1 nohead linestyle 20
plot for [i=1:series] data index (i-1) using (column(col_rate)):(column(col_place) + (series > 1 ? 0.2 * i - 0.3 : 0)) \
         :(column(col_q1)):(column(col_q3)) with xerrorbars linestyle i title (label(i) eq 'ours' ? 'ours' : peer), \
     data index 0 using (column(col_rate)):(column(col_place)):yticlabel(strcol(col_what)) with dots linecolor rgb '#ffffff' notitle
