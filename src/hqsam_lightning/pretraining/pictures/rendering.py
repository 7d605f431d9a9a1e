"""Views of textured models with exact alpha, by VTK: random directions, fields of view and lights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import vtk
from numpy.random import Generator
from PIL import Image
from vtk.util.numpy_support import vtk_to_numpy

VIEWS = 4
SIZE = 768
"""Side of what is rendered, in pixels; views are half of that, so that edges are smooth."""
LEAST_PIXELS = 1500
"""A view with fewer pixels of object is left out."""
FAINT = 12 / 255
"""Alpha below which a pixel is no part of the object."""
BRIGHTER = 0.8
"""Exponent of the colours, in [0, 1]: without it most models are dark."""


def render_views(model: Path, rng: Generator) -> Iterator[tuple[int, Image.Image]]:
    """Renders `VIEWS` views of an OBJ file with its materials and textures.

    Args:
        model: the .obj file; its materials are the file that it names, if that is there.
        rng: decides directions and lights.

    Yields:
        Number of the view, and an RGBA image of at most 384 px, cropped to the object.
    """
    window, renderer = _load(model)
    if renderer.GetActors().GetNumberOfItems():
        bounds = renderer.ComputeVisiblePropBounds()
        low, high = bounds[::2], bounds[1::2]
        centre = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        for view in range(VIEWS):
            _look(renderer, centre, math.dist(low, high) / 2, view, rng)
            image = _cut_out(window, renderer)
            if image is not None:
                yield view, image
    window.Finalize()


def _load(model: Path) -> tuple[vtk.vtkRenderWindow, vtk.vtkRenderer]:
    """The model's actors in a window off screen."""
    window, renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
    window.SetOffScreenRendering(1)
    window.SetSize(SIZE, SIZE)
    window.SetMultiSamples(0)
    window.SetAlphaBitPlanes(1)
    window.AddRenderer(renderer)
    renderer.SetUseDepthPeeling(1)
    renderer.SetMaximumNumberOfPeels(6)
    importer = vtk.vtkOBJImporter()
    importer.SetFileName(str(model))
    lines = model.read_text(errors="replace").splitlines()
    named = next((line.split(None, 1)[1].strip() for line in lines if line.startswith("mtllib")), None)
    if named is not None and (model.parent / named).exists():
        importer.SetFileNameMTL(str(model.parent / named))
        importer.SetTexturePath(str(model.parent))
    importer.SetRenderWindow(window)
    importer.Update()
    for actor in renderer.GetActors():
        material = actor.GetProperty()
        material.SetInterpolationToPhong()
        material.SetAmbient(0.25)
        material.SetDiffuse(0.9)
        material.BackfaceCullingOff()
        material.SetAmbientColor(material.GetDiffuseColor())
        material.SetOpacity(max(0.3, material.GetOpacity()))
    renderer.AutomaticLightCreationOff()
    return window, renderer


def _look(renderer: vtk.vtkRenderer, centre: list[float], radius: float, view: int, rng: Generator) -> None:
    """Places camera and two lights; the first view is from the front."""
    azimuth = rng.uniform(0, 2 * math.pi) if view else rng.uniform(-0.8, 0.8)
    heights = [rng.uniform(-5, 12), rng.uniform(12, 35), rng.uniform(35, 60)]
    elevation = math.radians(rng.choice(heights, p=[0.35, 0.5, 0.15]))
    field = rng.uniform(18, 45)
    distance = radius / math.sin(math.radians(field / 2)) * 1.02
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(*centre)
    camera.SetViewAngle(field)
    camera.SetPosition(*_around(centre, distance, azimuth, elevation))
    camera.SetViewUp(0, 1, 0)
    renderer.ResetCameraClippingRange()
    renderer.RemoveAllLights()
    for intensity in (rng.uniform(0.7, 1.0), rng.uniform(0.15, 0.4)):
        light = vtk.vtkLight()
        light.SetLightTypeToSceneLight()
        light.SetPositional(0)
        light.SetFocalPoint(*centre)
        light.SetPosition(*_around(centre, distance, azimuth + rng.uniform(-1.3, 1.3), rng.uniform(0.3, 1.3)))
        warmth = rng.uniform(-0.12, 0.12)
        light.SetDiffuseColor(1 + min(warmth, 0), 1 - abs(warmth) / 3, 1 - max(warmth, 0))
        light.SetIntensity(intensity)
        renderer.AddLight(light)


def _around(centre: list[float], distance: float, azimuth: float, elevation: float) -> tuple[float, float, float]:
    flat = distance * math.cos(elevation)
    return (
        centre[0] + flat * math.sin(azimuth),
        centre[1] + distance * math.sin(elevation),
        centre[2] + flat * math.cos(azimuth),
    )


def _cut_out(window: vtk.vtkRenderWindow, renderer: vtk.vtkRenderer) -> Image.Image | None:
    """Colours and alpha, from what is seen before black and before white."""
    dark, bright = _shot(window, renderer, 0.0), _shot(window, renderer, 1.0)
    alpha = np.clip(1 - (bright - dark).mean(-1) / 255, 0, 1)
    if (alpha > 0.5).sum() < LEAST_PIXELS:
        return None
    colours = np.where(alpha[..., None] > 0.02, dark / np.maximum(alpha[..., None], 0.02), 0)
    colours = 255 * (np.clip(colours, 0, 255) / 255) ** BRIGHTER
    pixels = np.dstack([colours, 255 * alpha]).round().astype(np.uint8)
    rows, columns = np.nonzero(pixels[..., 3] > 255 * FAINT)
    return Image.fromarray(pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])


def _shot(window: vtk.vtkRenderWindow, renderer: vtk.vtkRenderer, background: float) -> np.ndarray:
    """What the camera sees: (`SIZE` / 2, `SIZE` / 2, 3) float32 RGB in [0, 255]."""
    renderer.SetBackground(background, background, background)
    window.Render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.ReadFrontBufferOff()
    grabber.SetInputBufferTypeToRGB()
    grabber.Update()
    pixels = vtk_to_numpy(grabber.GetOutput().GetPointData().GetScalars()).reshape(SIZE, SIZE, 3)[::-1]
    return pixels.astype(np.float32).reshape(SIZE // 2, 2, SIZE // 2, 2, 3).mean((1, 3))
