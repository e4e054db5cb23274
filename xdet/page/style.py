"""How the page looks: colours of the theme, and what its own pieces of HTML need."""

from __future__ import annotations

import gradio as gr

_SANS = ('system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'DejaVu Sans', 'sans-serif')
_MONO = ('ui-monospace', 'SFMono-Regular', 'DejaVu Sans Mono', 'monospace')


def theme() -> gr.themes.Base:
    """Fonts are those of the system; those of Gradio's themes would come from elsewhere."""
    return gr.themes.Default(
        primary_hue='teal', secondary_hue='teal', neutral_hue='slate', radius_size='md', font=_SANS, font_mono=_MONO
    ).set(
        body_background_fill='*neutral_50',
        body_text_color_subdued='*neutral_600',
        body_text_color_subdued_dark='*neutral_300',
        block_info_text_color='*neutral_600',
        block_info_text_color_dark='*neutral_300',
        block_title_text_weight='600',
        block_label_text_color='*neutral_700',
        block_border_width='0px',
        block_shadow='none',
        layout_gap='12px',
        input_border_color='*neutral_300',
        checkbox_label_border_width='1px',
        checkbox_label_background_fill_selected='*primary_700',
        checkbox_label_text_color_selected='white',
        button_primary_background_fill='*primary_700',
        button_primary_background_fill_hover='*primary_800',
        button_primary_background_fill_dark='*primary_700',
        button_primary_background_fill_hover_dark='*primary_600',
        button_primary_text_color='white',
    )


CSS = """
.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important; }
#head h1 { font-size: 1.6rem; font-weight: 700; margin: .2rem 0 0; }
#head p { margin: 0; }
#form, #answer { background: var(--background-fill-primary); border: 1px solid var(--border-color-primary);
  border-radius: 12px; padding: 14px; gap: 12px; }
#form .block, #answer .block { background: transparent; }
#form .block, #answer .block { padding: 0; }
#form .form, #answer .form { background: transparent; border: 0; gap: 12px; overflow: visible; }
#image, #result { border-radius: 8px; overflow: hidden; background: var(--background-fill-secondary) !important; }
#examples { display: grid; gap: 6px; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); }
#form .html-container, #answer .html-container { padding: 0; }
#examples button { min-width: 0; justify-content: flex-start; font-weight: 500; padding: 4px 8px;
  flex-wrap: nowrap; text-align: left; }
#examples button img { width: 32px; height: 32px; border-radius: 6px; object-fit: cover; flex: none; }
#run { min-height: 46px; font-size: 1.05rem; }
#task .wrap, #model .wrap { gap: 6px; }
#task label:has(input), #model label:has(input) { padding: 6px 11px; min-height: 36px; }
.xd-note { color: var(--body-text-color-subdued); margin: 0; overflow-wrap: anywhere; }
.xd-error, .xd-unknown { border-radius: 8px; padding: 10px 14px; margin: .3rem 0; overflow-wrap: anywhere; }
.xd-error { background: #fde8e8; color: #7a1414; border: 1px solid #e58b8b; }
.xd-unknown { background: #fff4d6; color: #5b4300; border: 1px solid #e5c568; }
.xd-unknown mark { background: #ffd970; color: inherit; padding: 0 .3em; border-radius: 4px; font-weight: 600; }
.xd-lines { list-style: none; padding: 0; margin: 0; }
.xd-lines li { padding: 6px 10px; margin: 4px 0; border-radius: 6px; overflow-wrap: anywhere; font-size: 1.05rem; }
.xd-lines .xd-strong { font-weight: 600; padding-bottom: 0; }
.xd-lines .xd-bar {
  background: linear-gradient(color-mix(in srgb, var(--primary-500) 28%, transparent) 0 0) left / var(--share) 100%
    no-repeat, var(--background-fill-secondary);
}
.xd-card { border-left: 4px solid var(--primary-500); padding: 4px 14px; overflow-wrap: anywhere; }
.xd-card h3 { margin: 0; font-size: 1.1rem; }
.xd-card p { margin: .15rem 0; }
#result img { max-height: 520px; width: 100%; object-fit: contain; cursor: crosshair; }
#ranked { min-height: 0; }
#region { gap: 8px; padding: 10px; border: 1px solid var(--border-color-primary); border-radius: 8px; }
#segments .wrap { flex-direction: column; align-items: stretch; gap: 4px; max-height: 320px; overflow-y: auto; }
#segments label span { min-width: 0; overflow-wrap: anywhere; }
#ask { align-self: end; max-width: 110px; }
#region .block { overflow: visible; }
:is(button, input, textarea, label:has(input), [tabindex]):focus-visible,
label:has(input:focus-visible) { outline: 3px solid var(--primary-600) !important; outline-offset: 2px; }
@media (max-width: 640px) {
  .gradio-container, .gradio-container main { padding: 4px !important; }
  #head { padding: 0 10px !important; }
  #form, #answer { padding: 10px; }
}
@media (prefers-color-scheme: dark) {
  .dark .xd-error { background: #4a1717; color: #ffd9d9; }
  .dark .xd-unknown { background: #453608; color: #ffeab0; }
  .dark .xd-unknown mark { background: #8a6a10; }
}
"""

SHOW_ANSWER = """() => {
  const place = document.getElementById('answer');
  const show = () => place.scrollIntoView({behavior: 'smooth', block: 'start'});
  if (place && window.innerWidth < 900) setTimeout(show, 400);  // when the image has its place
}"""
"""On narrow screens answers are below the form."""
