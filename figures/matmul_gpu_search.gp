# A search at a shape that was not met before: what each trial reached, the best so far, and the best of everything that
# was tried there. Columns: series (tried, best), trial (its number), ratio (median, to the peer). Variables: peer (its
# name); machine and measured (two lines of text: on what, and how); shape; counts (a line: what became of the
# candidates); everything (the ratio of the best of everything). The dashed line is the peer, as in every figure.

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,600 dynamic enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,1200 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,5.6in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
tick_font = sized(0.85)
key_font = sized(0.88)

stats data using (column(col_trial)) nooutput name 'x'
stats data using (column(col_ratio)) nooutput name 'y'
top = y_max > 1 ? y_max : 1
top = everything > top ? everything : top
bottom = y_min < everything ? y_min : everything
pad = 0.06 * (top - bottom) + 0.01

set label 1 sprintf('A search at %s', shape) at screen 0.5,0.96 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.912 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.87 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 4 counts at screen 0.5,0.828 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set tics font tick_font
set tmargin at screen 0.79
set bmargin at screen 0.27
set lmargin at screen 0.17
set rmargin at screen 0.965
set xrange [0.5 : x_max + 0.5]
set yrange [bottom - pad : top + pad]
set xtics x_max > 20 ? 5 : 2
set ytics top - bottom > 0.6 ? 0.2 : top - bottom > 0.3 ? 0.1 : top - bottom > 0.1 ? 0.05 : 0.02
set format y '%.2f'
set xlabel 'trial' offset 0,0.4
set label 5 sprintf('ratio to %s', peer) at screen 0.035,0.53 center rotate by 90 noenhanced textcolor rgb '#222222' front
set key at screen 0.55,0.15 center top vertical maxrows 2 Left reverse samplen 1.7 spacing 1.05 width 0 font key_font
plot 1 with lines linestyle 20 title peer, \
     everything with lines linestyle 2 linewidth 1.6 dashtype 3 title 'the best of everything', \
     data index 1 using (column(col_trial)):(column(col_ratio)) with steps linestyle 3 linewidth 2 title 'the best so far', \
     data index 0 using (column(col_trial)):(column(col_ratio)) with points linestyle 1 title 'a trial'
