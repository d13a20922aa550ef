"""Where claims are from: five student reports, none of which has an address, by their tags."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """A report and what it says of itself; "" of what it does not say."""

    space: str  # with its systems
    title: str
    author: str
    year: str
    compared: str

    def __str__(self):
        return f"{self.author or 'unnamed author'}: {self.title} ({self.year or 'no year given'})"


REPORTS = {
    "A": Report(
        "bottleneck_20",
        "report without a title",
        "",
        "",
        "a VAE, fully connected and convolutional GANs, and a WGAN on MNIST and CIFAR-10",
    ),
    "B": Report(
        "three_sizes", "Assignment 4", "Mitchell Chatterjee", "", "three sizes each of VAE, GAN and WGAN on MNIST and CIFAR-10"
    ),
    "C": Report(
        "dropout_or_dcgan", "Project 4: Generative modeling", "Yufei Hu", "2018", "a VAE with dropout and a DCGAN on MNIST"
    ),
    "D": Report(
        "matched_weights", "Assignment #5a", "Mick IJzer", "", "a VAE and a GAN of about as many weights on MNIST and Imagenette"
    ),
    "E": Report(
        "depth_and_latent",
        "Homework Exercise 4",
        "Pavan Balaji Kumar",
        "",
        "depth and latent size of VAEs, latent size of GANs and WGANs on MNIST and CIFAR-10",
    ),
}
