# Stages of K and of V of FMHA on the GPU, all numbers of both: the speed over the stages of V, a curve for each number of
# stages of K, in two panels of a shape each. Columns: series (kNUMBER_SHAPE), stages (of V), tflops, q1, q3. Variables:
# shape_1, shape_2 and tile; machine and measured (two lines of text: on what, and how).

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
    set terminal pdfcairo size 6in,8.7in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
key_font = sized(0.9)
title_font = sized(0.92)
block(name) = (found = 0, sum [i=1:series] (word(series_names, i) eq name ? (found = i) : 0), found)
set multiplot
set label 1 'Attention: stages of K and of V' at screen 0.5,0.975 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.946 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.918 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 4 tile at screen 0.5,0.89 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set lmargin at screen 0.155
set rmargin at screen 0.965
set title offset 0,-0.6 font title_font
set xtics 1
set xrange [0.7 : 5.3]
set xlabel 'stages of V' offset 0,0.4
do for [shape=1:2] {
    set tmargin at screen 0.84 - 0.39 * (shape - 1)
    set bmargin at screen 0.575 - 0.39 * (shape - 1)
    # A ylabel may lie outside of the picture: its place is guessed from the widest number on the axis.
    set label 5 'TFLOP/s' at screen 0.028,graph 0.5 center rotate noenhanced front
    set title sprintf('(%s) %s', shape == 1 ? 'a' : 'b', shape == 1 ? shape_1 : shape_2)
    unset key
    if (shape == 2) { set key at screen 0.56,0.105 center top vertical maxrows 2 Left reverse samplen 1.7 spacing 1.05 width 0 font key_font }
    if (block(sprintf('k1_%d', shape)) > 0) {
        # Side by side where points would hide each other.
        plot for [k=1:5] data index (block(sprintf('k%d_%d', k, shape)) - 1) \
                 using (column(col_stages) + 0.04 * (k - 3)):(column(col_tflops)):(column(col_q1)):(column(col_q3)) \
                 with yerrorbars linestyle k notitle, \
             for [k=1:5] data index (block(sprintf('k%d_%d', k, shape)) - 1) \
                 using (column(col_stages) + 0.04 * (k - 3)):(column(col_tflops)) \
                 with linespoints linestyle k title (shape == 2 ? sprintf('%d of K', k) : '')
    }
    unset label
}
unset multiplot
