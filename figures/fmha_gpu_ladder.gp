# The ladder of FMHA on the GPU: each step's speed at two lengths, with a causal mask and without, from the lowest step
# up. Columns: series (HEADDIM_MASK_LENGTH), place (of the step, from below), step (its name), tflops, q1, q3. Variables:
# shape, machine and measured (three lines of text: at what, on what, and how).

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,760 dynamic enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,1520 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,7in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
tick_font = sized(0.82)
key_font = sized(0.85)
label(i) = word(series_names, i)
masked(name) = strstrt(name, 'causal') > 0
# '128_causal_2048': what comes after the last '_'
last(name) = (at = strstrt(name, '_')) ? last(name[at+1:*]) : name
pretty(name) = sprintf('%s, length %s', masked(name) ? 'causal' : 'no mask', last(name))

stats data using (column(col_place)) nooutput name 'y'
stats data using (column(col_q3)) nooutput name 'high'
set label 1 'Attention, step by step' at screen 0.5,0.965 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.927 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.893 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 4 shape at screen 0.5,0.859 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set tmargin at screen 0.83
set bmargin at screen 0.215
set lmargin at screen 0.28
set rmargin at screen 0.965
set xrange [0 : high_max * 1.06]
set yrange [0.4 : y_max + 0.6]
set xtics 100 font tick_font
set ytics scale 0 font tick_font
set xlabel 'TFLOP/s' offset 0,0.4
set key at screen 0.6,0.1 center top vertical maxrows 2 Left reverse samplen 1.7 width 1 font key_font
beside(i) = 0.09 * (2 * i - series - 1) / 2
plot for [i=1:series] data index (i-1) using (column(col_tflops)):(column(col_place) + beside(i)) \
         :(column(col_q1)):(column(col_q3)) with xerrorbars linestyle i title pretty(label(i)), \
     data index 0 using (column(col_tflops)):(column(col_place)):yticlabel(strcol(col_step)) with dots linecolor rgb '#ffffff' notitle
