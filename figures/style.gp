# The look that all figures share. Called before a figure's own script, with `kind` (svg, png, pdf) and `out` set.
# Colours: Okabe and Ito's palette, told apart by the colour-blind and in print; the order is a figure's line order.
if (kind eq 'svg') {
    set terminal svg size 720,450 dynamic enhanced font 'Helvetica,Arial,sans-serif,16' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    set terminal pngcairo size 1520,860 enhanced font 'sans,26' linewidth 2.8 pointscale 1.7 background '#ffffff'
}
if (kind eq 'pdf') {
    set terminal pdfcairo size 7.6in,4.3in enhanced font 'sans,13' linewidth 1.4 background '#ffffff'
}
set output out

set encoding utf8
set datafile separator tab
set border 3 linecolor rgb '#555555' linewidth 0.8
set tics nomirror out scale 0.6 textcolor rgb '#333333'
set grid xtics ytics linecolor rgb '#dddddd' linewidth 0.6 dashtype 1
set key outside right center Left reverse samplen 2.2 spacing 1.35 width -1 textcolor rgb '#222222'
set title textcolor rgb '#111111' offset 0,-0.2
set xlabel textcolor rgb '#222222'
set ylabel textcolor rgb '#222222'
set bars 0.5

array spak_colour[8] = [0x0072b2, 0xe69f00, 0x009e73, 0xcc79a7, 0xd55e00, 0x56b4e9, 0x7f7f7f, 0x000000]
array spak_point[8]  = [7, 5, 9, 11, 13, 15, 6, 4]
do for [i=1:8] { set style line i linecolor rgb spak_colour[i] linewidth 1.6 pointtype spak_point[i] pointsize 0.75 }
# A reference line (a peer, a limit).
set style line 20 linecolor rgb '#222222' linewidth 1.2 dashtype (8,5)
